"""What this course adds to nbgrader's own preprocessors."""

from nbgrader.preprocessors import ClearSolutions


class NumberedStubs(ClearSolutions):
    """nbgrader's ClearSolutions, with the exercise's number in each stub."""

    def preprocess_cell(self, cell, resources, cell_index):
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        slug, _, _ = grade_id.removeprefix("exercise-").partition("_")
        number = slug.replace("-", ".")
        self.code_stub = {
            "python": "# YOUR CODE HERE\n"
            f'raise NotImplementedError("Exercise {number}")'
        }
        return super().preprocess_cell(cell, resources, cell_index)
