"""
The real service in processes of its own, killed with a real SIGKILL at every journal point, and judged from outside.

`python -m tests.kills --kills 1000` runs it. What the service did is counted where it arrives, at the API server and
at the mills' own doors, and compared with what it acknowledged and with what its journal says.
"""
