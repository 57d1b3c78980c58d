"""How objects show themselves: a paragraph in a console, a table and a picture in a notebook.

`diffus.reprs.facts` has the words, `diffus.reprs.pages` the HTML, `diffus.reprs.pictures` the PNG. Nothing
here raises: an object whose content is odd is described as far as it can be.
"""
