"""What a person reads in a shell: tables, a run's page, and a rehearsal told as it happens."""
