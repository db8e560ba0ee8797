"""What a check shows: pictures as data."""

from accbo._figures.panel import Curve as Curve
from accbo._figures.panel import Panel as Panel
