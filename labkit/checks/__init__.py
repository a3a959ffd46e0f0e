"""How an answer is checked. Nothing here knows an exercise: see labkit.exercises.

exercise    what an exercise is made of, and its report
ladder      what its judge looks for, in this order
compare     the rungs of that ladder, and what they say
recognition which known mistake an answer makes
errors      what an error of PyTorch's means, in a sentence
variations  questions that every exercise asks besides its author's
probes      questions as data, and the only code that touches a learner's object
watch       what is noted meanwhile: calls off limits, float32, what is printed
observed    what came back, as data
plain       questions and replies as bytes
"""
