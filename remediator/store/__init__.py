"""The run journal and the backups that runs own. It keeps what it is told and decides nothing."""
