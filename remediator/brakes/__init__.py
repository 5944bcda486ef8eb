"""
Ways to stop every write that do not need the store: a file, a signal and a ConfigMap.

In: a path, a signal, the cluster's view. Out: what each brake says just now, and, as soon as the store answers, the
same as a durable switch, so that whatever lets go of a brake does not let go of the freeze. It never unfreezes.
"""
