"""Where learners' code runs: one warm process, and a child of it for each submission.

client            the grader's side: steps out, what became of them back
process           the learner's process, the only place where learners' code runs
confine           shuts it in
cgroup            limits on all its processes together, where the system lends a group
rootfs            what it sees: a root, and a labkit without answers
check_stand_in    what it has in place of labkit.learning.check
progress_stand_in and of labkit.learning.progress
selftest          tries from inside what must not be possible
protocol          messages between the two sides

process, confine, cgroup, selftest and protocol are copied into the sandbox: they import
nothing of the grader's.
"""
