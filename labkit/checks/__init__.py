"""How an answer is checked. Nothing here knows an exercise: see labkit.exercises.

exercise   what an exercise is made of, the ladder of its judge, and its report
compare    the rungs of that ladder, and what they say
probes     questions as data, and the only code that touches a learner's object
plain      questions and replies as bytes
"""
