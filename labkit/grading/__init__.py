"""Hand out labs, grade what comes back.

release       an nbgrader course directory from the solutions
course        where things lie in it, and what was handed in
batch         grade what is new or changed; resumable
crew          many submissions: here, in several processes, or on a Dask cluster
grade         one submission: bytes in, a result out
  notebook    read it safely, rebuild it from the master
  run         run it in a learner's process, with time limits
  judge       verdicts on what that process answered
  flags       what a person should look at in an answer
gradebook     results into nbgrader's gradebook
feedback      pages for learners
  page        what one looks like
summary       what is printed
report        where the class stands, as a page and a table

learner       the program of the learner's process: the only place where learners'
              code runs
sandbox       what it is shut in with
cgroup        limits on all its processes together, where the system lends a group
room          what it sees: a root, and a labkit without answers
trial         the sandbox's self-test
wire          messages between the two
"""
