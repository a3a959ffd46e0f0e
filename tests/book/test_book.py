"""The book as files: complete, strict, self-contained, and without an answer."""

import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from nbformat import v4

from labkit.book import handouts
from labkit.book.verdicts import CONTROLS, HEADER, chapters, counts, read_verdicts
from labkit.lab import section_of

from .conftest import PAGES

ROOT = Path(__file__).parents[2]
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src"}
TEX = re.compile(r"\$|\\[a-zA-Z]{2,}")


@pytest.fixture(scope="session")
def pages(book):
    """Every page, parsed; not the root's redirect nor the theme's own templates."""
    return {
        path: BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in sorted(book.rglob("*.html"))
        if "_static" not in path.parts and path != book / "index.html"
    }


def test_every_page_of_the_contents_is_built_and_no_other(book, pages):
    names = {str(path.relative_to(book).with_suffix("")) for path in pages}
    assert sorted(names) == PAGES


def test_an_old_handout_does_not_pass_for_a_new_one(tmp_path, monkeypatch):
    page, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text("new")
    pdf.write_bytes(b"%PDF-old")
    monkeypatch.setattr(handouts, "browser", lambda: "false")  # prints nothing
    assert "not printed" in handouts.print_page(page)
    assert not pdf.exists()


def test_nothing_is_loaded_from_elsewhere(book, pages):
    outside = []
    for path, soup in pages.items():
        for tag in soup.find_all(list(LOADED)):
            address = tag.get(LOADED[tag.name]) or ""
            if urlsplit(address).netloc:
                outside.append(f"{path.name}: {address}")
    for path in book.rglob("*.css"):
        css = path.read_text("utf-8")
        outside += re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//\S+", css)
    assert not outside


def test_no_unused_script_is_loaded(pages):
    for path, soup in pages.items():
        scripts = [f"{s.get('src')} {s.string}" for s in soup.find_all("script")]
        assert not re.search("thebe|fontawesome", " ".join(scripts)), path


def test_every_page_has_a_description(pages):
    bare = [p.name for p, s in pages.items() if not s.select("meta[name=description]")]
    assert bare == ["search.html"]


def test_code_is_coloured_for_both_themes(book):
    assert 'html[data-theme="light"]' in (book / "_static/pygments.css").read_text()


def test_every_formula_is_rendered(pages):
    rendered = 0
    for path, soup in pages.items():
        rendered += len(soup.select(".math .katex"))
        assert not soup.select(".katex-error, [style*='#cc0000']"), path
        assert all(math.select(".katex") for math in soup.select(".math")), path
        main = BeautifulSoup(str(soup.find(id="main-content")), "html.parser")
        for code in main(["annotation", "code", "pre", "script", "style"]):
            code.decompose()
        assert not TEX.search(main.get_text()), path
    assert rendered > 20


def test_katex_is_the_release_that_its_readme_names_with_every_font():
    from labkit.book.katex import KATEX, Renderer

    said = re.search(r"KaTeX (\d+\.\d+\.\d+)", (KATEX / "README.md").read_text("utf-8"))
    assert Renderer().engine.eval("katex.version") == said[1]
    css = (KATEX / "katex.min.css").read_text("utf-8")
    fonts = set(re.findall(r"url\(fonts/([^)]+\.woff2)\)", css))
    assert fonts == {path.name for path in KATEX.glob("fonts/*")}


@pytest.mark.parametrize("tex", [r"\frac{1}{", r"\unknownmacro", "a & b", "x_a_b"])
def test_a_bad_formula_is_refused(tex):
    from labkit.book import katex

    with pytest.raises(katex.quickjs.JSException, match="ParseError"):
        katex.Renderer()(tex, display=True)


def test_a_bad_formula_fails_the_build(build, tmp_path):
    (tmp_path / "_config.yml").write_text((ROOT / "_config.yml").read_text("utf-8"))
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: README\n")
    (tmp_path / "README.md").write_text("# Bad\n\nHalf of $\\frac{1}{$.\n")
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode != 0 and "README.md:3: WARNING: formula" in done.stderr


def answers():
    """Lines of the solutions that nobody may see.

    Not those that the lab shows too, nor what a chapter teaches in the same words:
    chapter 4.2 builds the model that lab 4.2 asks for.
    """
    taught = "".join(p.read_text("utf-8") for p in (ROOT / "chapters").glob("*.py"))
    for path in sorted((ROOT / "solutions").glob("*.py")):
        lab = json.loads((ROOT / "labs" / f"{path.stem}.ipynb").read_text("utf-8"))
        shown = "\n".join("".join(cell["source"]) for cell in lab["cells"])
        marked = r"# BEGIN SOLUTION\n(.*?)# END SOLUTION"
        for block in re.findall(marked, path.read_text("utf-8"), re.S):
            lines = map(str.strip, block.splitlines())
            yield from (n for n in lines if len(n) >= 20 and n not in shown + taught)


def readable(path):
    """What a reader or a search finds in a file of the book."""
    text = path.read_text("utf-8")
    if path.suffix == ".html":
        return BeautifulSoup(text, "html.parser").get_text()
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text


def test_no_answer_is_in_the_book(book):
    lines = list(answers())
    assert len(lines) > 100
    for path in book.rglob("*"):
        assert "solution" not in path.name.lower()
        if path.suffix in {".html", ".js", ".ipynb", ".md", ".py", ".txt"}:
            text = readable(path)
            assert not [line for line in lines if line in text], path


def test_every_verdict_is_collected(book, pages):
    claims = [row for path in chapters(ROOT) for row in read_verdicts(path)]
    rows = pages[book / "chapters/verdicts.html"].select("table.verdicts tbody tr")
    cells = [row.find_all("td") for row in rows]
    found = [(c[0].get_text(strip=True), c[2].get_text(strip=True)) for c in cells]
    assert found and found == [(row.claim, row.verdict) for row in claims]
    assert cells[0][0].a["href"].startswith("01_layer_normalization.html")
    assert {len(row) for row in cells} == {len(HEADER + CONTROLS)}


def test_the_verdicts_are_counted(book, pages):
    """Chapter by chapter, with a sum below: nobody keeps a number by hand."""
    found = [read_verdicts(path) for path in chapters(ROOT)]
    table = pages[book / "chapters/verdicts.html"].select("table")[0]
    rows = [[c.get_text(strip=True) for c in r("td")] for r in table.select("tbody tr")]
    numbers = [[int(n.replace("–", "0")) for n in row[1:]] for row in rows]
    assert numbers[:-1] == [counts(rows) for rows in found if rows]
    assert numbers[-1] == [sum(column) for column in zip(*numbers[:-1], strict=True)]
    assert [sum(row[1:]) for row in numbers] == [row[0] for row in numbers]


def chapter_with(folder, table):
    """A chapter with this table; {head} and {more} are four headings and six."""
    heads = HEADER, HEADER + CONTROLS
    head, more = (f"| {' | '.join(h)} |\n{'|---' * len(h)}|\n" for h in heads)
    source = "## Verdicts\n\n" + table.format(head=head, more=more)
    notebook = folder / "chapter.ipynb"
    notebook.write_text(
        json.dumps({"cells": [{"cell_type": "markdown", "source": source}]})
    )
    return notebook


def test_a_verdict_may_say_what_was_varied_and_what_would_overturn_it(tmp_path):
    four = "{head}| S1.1 | it does | holds | because |"
    six = "{more}| S1.2 | it does | holds | because | rates, seeds | a counterexample |"
    (row,) = read_verdicts(chapter_with(tmp_path, four))
    assert (row.varied, row.overturned_by) == ("", "")
    (row,) = read_verdicts(chapter_with(tmp_path, six))
    assert (row.varied, row.overturned_by) == ("rates, seeds", "a counterexample")


@pytest.mark.parametrize(
    "table, message",
    [
        ("nothing", "want a table headed"),
        ("| Claim | Verdict |\n|---|---|\n| S1.1 | holds |", "want a table headed"),
        ("{head}| S1.1 | it does | perhaps | because |", "S1.1: want one of"),
        ("{head}| first | it does | holds | because |", "want a claim such as S1.2"),
        ("{head}| S1.1 | it | does | holds | because |", "want 4 cells"),
        ("{more}| S1.1 | it does | holds | because |", "want 6 cells"),
        ("{more}| S1.1 | it does | maybe | so | rates | a |", "S1.1: want one of"),
    ],
)
def test_a_malformed_verdict_table_stops_the_build(tmp_path, table, message):
    notebook = chapter_with(tmp_path, table)
    with pytest.raises(Exception, match=re.escape(message)):
        read_verdicts(notebook)


LESSONS = [path.stem for path in chapters(ROOT) if read_verdicts(path)]


@pytest.mark.parametrize("stem", LESSONS)
def test_every_chapter_opens_and_ends_as_promised(book, pages, stem):
    """First what you will be able to do and how long; last the verdicts and the lab."""
    page, lab = pages[book / f"chapters/{stem}.html"], f"../labs/lab_{stem}.html"
    opening = [page.article.h1, *page.article.h1.find_next_siblings(["p", "ul"])]
    words = " ".join(" ".join(part.get_text() for part in opening).split())
    assert re.search(r"You will .+ You need .+ Time (an hour|\d+ minutes)", words)
    assert any(part.find("a", href=lab) for part in opening)
    sections = page.article.select("section:has(> h2)")
    titles = [section.h2.find(string=True) for section in sections]
    assert titles.count("Verdicts") == 1 and titles[-1] == "Summary"
    assert sections[titles.index("Verdicts")].select("table.verdicts")
    assert sections[-1].find("a", href=lab)


@pytest.mark.parametrize("stem", LESSONS)
def test_every_lab_numbers_its_exercises_as_the_source_is(book, pages, stem):
    """Section 4.1 has exercises 4.1.1, 4.1.2 …, and the page leads to its chapter."""
    page = pages[book / f"labs/lab_{stem}.html"]
    section = ".".join(str(int(part)) for part in re.findall(r"\d+", stem))
    titles = [title.get_text() for title in page.article.select("h2")]
    numbers = [re.match(r"Exercise ([\d.]+) —", title) for title in titles]
    found = [number[1] for number in numbers if number]
    assert found == [f"{section}.{n}" for n in range(1, len(found) + 1)] != []
    assert len(page.article.select(f"a[href^='../chapters/{stem}.html']")) >= 1


def test_chapters_are_numbered_as_their_files_are_called_and_labs_are_not(book, pages):
    seen = []
    for link in pages[book / "README.html"].select(".bd-sidebar-primary a[href]"):
        number = re.match(r"([\d.]+)\. ", link.get_text())
        folder, _, name = link["href"].removesuffix(".html").rpartition("/")
        if folder in ("chapters", "labs"):
            section = section_of(name) if folder == "chapters" else ""
            assert (number[1] if number else "") == section, link
            seen.append(folder)
    assert seen.count("labs") >= 6 and seen.count("chapters") > seen.count("labs")


def test_figures_and_equations_are_numbered_within_their_chapter(book, pages):
    """One after the other, and each with an anchor to refer to."""
    counted = Counter()
    for chapter in map(str, chapters(ROOT)):
        article = pages[book / f"chapters/{Path(chapter).stem}.html"].article
        if not article.h1.select_one(".section-number"):
            continue
        part = article.h1.select_one(".section-number").get_text().split(".")[0]
        for figure in article.select("figure"):
            counted[part] += 1
            number = figure.select_one(".caption-number").get_text(strip=True)
            assert number == f"Fig. {part}.{counted[part]}"
            assert figure["id"].startswith("fig-") and figure.img["alt"]
        for equation in article.select("div.math:has(.eqno)"):
            assert equation["id"] and f"({part}." in equation.select_one(".eqno").text
    assert sum(counted.values()) > 20


def test_terms_lead_to_the_glossary_once_a_page(book, pages):
    """Never in headings, captions, code or other links; each says what it means."""
    glossary = pages[book / "chapters/glossary.html"]
    linked = 0
    for path, page in pages.items():
        terms = page.select("a.term")
        addresses = [term["href"] for term in terms]
        assert len(set(addresses)) == len(addresses), path
        for term in terms:
            assert not term.find_parent(["h1", "h2", "h3", "pre", "figcaption", "code"])
            entry = glossary.find(id=term["href"].partition("#")[2])
            meaning = re.findall(r"[^\W\d_]{5,}", entry.find_next("dd").get_text())
            words = re.findall(r"[^\W\d_]{5,}", term["title"])
            assert words and set(words) <= set(meaning), term
        linked += len(terms)
    assert linked > 100


def test_the_index_has_every_term_and_where_it_is_used(book, pages):
    index = pages[book / "chapters/term_index.html"]
    entries = {li.a.get_text(): li for li in index.select(".term-index > li")}
    glossary = pages[book / "chapters/glossary.html"].select("dl.glossary > dt")
    names = {dt.find(string=True) for dt in glossary}
    assert names == {name for entry in entries for name in re.split(", (?!k|v)", entry)}
    places = {a["href"] for li in entries.values() for a in li.select("a")[1:]}
    uses = {
        f"{path.parent.name}/{path.name}#{term['id']}"
        for path, page in pages.items()
        for term in page.select("a.term")
    }
    as_seen = {f"chapters/{p}".replace("chapters/../", "") for p in places}
    assert as_seen == uses
    links = {a["href"] for a in index.select(".bd-sidebar-primary a[href]")}
    assert "glossary.html" in links  # and the index itself stands beside it
    sidebar = pages[book / "chapters/glossary.html"].select(".bd-sidebar-primary a")
    assert "term_index.html" in {a.get("href") for a in sidebar}


def test_a_book_built_again_knows_what_has_changed_in_its_terms(build, tmp_path):
    """The index when a page changes, every use when the glossary changes."""
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "chapters").mkdir(parents=True)
    for name in ("_config.yml", "chapters/references.bib"):
        (source / name).write_text((ROOT / name).read_text("utf-8"))
    pages = ("page", "chapters/glossary", "chapters/term_index")
    listed = "".join(f"- file: {page}\n" for page in pages)
    toc = f"format: jb-book\nroot: README\nchapters:\n{listed}"
    (source / "_toc.yml").write_text(toc)
    (source / "README.md").write_text("# Small\n")
    (source / "chapters/term_index.md").write_text("# Index\n\n```{terms}\n```\n")

    def built(words, meaning):
        text = v4.new_markdown_cell(f"# Page\n\n{words}")
        (source / "page.ipynb").write_text(json.dumps(v4.new_notebook(cells=[text])))
        glossary = f"# Glossary\n\n```{{glossary}}\ntoken\n  {meaning}\n```\n"
        (source / "chapters/glossary.md").write_text(glossary)
        done = build(source, out)
        assert done.returncode == 0, done.stderr[-2000:]
        html = out / "_build/html"
        index = (html / "chapters/term_index.html").read_text("utf-8")
        page = (html / "page.html").read_text("utf-8")
        return "page.html#use-token" in index, re.findall(r'title="(One \w+)', page)

    assert built("No term.", "One row.") == (False, [])
    assert built("A token.", "One row.") == (True, ["One row"])
    assert built("A token.", "One line.") == (True, ["One line"])


def test_every_link_inside_the_book_leads_somewhere(pages):
    dead = []
    for path, soup in pages.items():
        for link in soup.select("a[href]"):
            url = urlsplit(link["href"])
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            anchor = unquote(url.fragment)
            known = not anchor or target not in pages or pages[target].find(id=anchor)
            if not target.exists() or not known:
                dead.append(f"{path.name}: {link['href']}")
    assert not dead


def test_the_readme_is_short_and_its_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text("utf-8")
    links = [x for x in re.findall(r"\]\(([^)#]+)", readme) if not urlsplit(x).scheme]
    assert links and not [link for link in links if not (ROOT / link).exists()]
    assert len(readme.splitlines()) <= 60
