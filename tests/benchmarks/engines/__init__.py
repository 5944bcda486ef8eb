"""
The run journal beside two engines that others use, DBOS and procrastinate, measured in turns in one run.

Each engine runs in a process of its own with an empty database on the same disk, is given the same jobs and is asked
the same four things. Theirs run in an environment of their own, which holds nothing of the service's.
"""
