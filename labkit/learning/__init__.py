"""What helps a learner at work in a notebook."""
