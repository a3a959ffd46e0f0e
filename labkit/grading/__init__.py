"""Hand out labs, grade what comes back.

    cli           the commands labkit release and labkit grade
    release       an nbgrader course directory from the solutions
    course        where things lie in it, and what was handed in
    batch         grade what is new or changed; resumable
    grade         one submission: bytes in, a result out
      notebook    read it safely, rebuild it from the master
      run         run it in a learner's process, with time limits
      judge       verdicts on what that process answered
    gradebook     results into nbgrader's gradebook
    feedback      pages for learners
    summary       what is printed

    learner       the program of the learner's process: the only place where learners'
                  code runs, and the place for its sandbox
    wire          messages between the two
"""
