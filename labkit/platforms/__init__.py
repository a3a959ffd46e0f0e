"""In and out of the platform that a class uses: Canvas, Moodle, Gradescope, files.

names     whose a file in a download is, by the platform's own names
roster    who is in the class, from the platform's own table
collect   a download into a course's submitted/
table     a CSV file whose other cells stay byte for byte
export    points into the columns that the platform takes back
"""
