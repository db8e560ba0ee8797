"""The known mistakes, written once, by the part of a step that they sit in."""
