"""A pytest plugin: what nbval found, notebook by notebook."""

from collections import defaultdict

SLOWEST = 10


class Table:
    """Cells, processor seconds and differences of each notebook.

    limit  seconds that a notebook should take at most
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.cells: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)
        self.failures: dict[str, list[str]] = defaultdict(list)
        self.slowest: list[tuple[float, str]] = []

    def pytest_runtest_logreport(self, report) -> None:
        notebook, _, cell = report.nodeid.partition("::")
        if report.when == "call":
            told = dict(report.user_properties)
            seconds = told.get("seconds", 0.0)
            self.cells[notebook] += 1
            self.seconds[notebook] += seconds
            self.slowest.append((seconds, f"{notebook} {cell}: {told.get('line', '')}"))
        # nbval marks the cells behind one that timed out as expected failures
        if report.failed or hasattr(report, "wasxfail"):
            self.failures[notebook].append(f"{notebook} {cell}\n{report.longreprtext}")

    @property
    def too_slow(self) -> list[str]:
        return [name for name, spent in self.seconds.items() if spent > self.limit]

    def verdict(self, notebook: str) -> str:
        """In a word or two: "same", or what is wrong."""
        wrong = len(self.failures[notebook])
        return f"{wrong} of {self.cells[notebook]} cells differ" if wrong else "same"

    @property
    def passed(self) -> bool:
        return all(self.verdict(notebook) == "same" for notebook in self.cells)

    def show(self) -> None:
        """Print the table, the slowest cells, and the first difference."""
        width = max(map(len, self.cells), default=8)
        print(f"\n{'notebook':{width}}  cells  seconds  differences")
        for name, count in sorted(self.cells.items()):
            wrong = len(self.failures[name]) or "none"
            print(f"{name:{width}}  {count:5}  {self.seconds[name]:7.1f}  {wrong}")
        print(f"\nthe slowest {SLOWEST} cells, in seconds of processor time")
        for seconds, cell in sorted(self.slowest, reverse=True)[:SLOWEST]:
            print(f"{seconds:5.1f}  {cell}")
        for name in self.too_slow:
            print(f"\ntoo slow: {name} takes more than {self.limit:g} s")
        if first := next((found[0] for found in self.failures.values() if found), None):
            print(f"\nthe first difference: {first}")
