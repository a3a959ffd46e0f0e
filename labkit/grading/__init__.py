"""Hand out labs, grade what comes back.

release       an nbgrader course directory from the solutions
course        where things lie in it, and what was handed in
batch         grade what is new or changed; resumable
workers       many submissions: here, in several processes, or on a Dask cluster
orphans       what a killed run has left behind
handed_in     which file of a learner's folder is graded
timestamp     when it was handed in
extensions    who may hand in later
grade         one submission: bytes in, a result out
  submission  read it safely
  source      what can be told of a cell without running it
  rebuild     the answers put into the master
  sandbox     run it in learners' processes, with time limits
  judge       verdicts on what that process answered
  flags       what a person should look at in an answer
gradebook     results into nbgrader's gradebook
feedback      pages for learners
  page        what one looks like
summary       what is printed
report        where the class stands, as a page and a table
"""
