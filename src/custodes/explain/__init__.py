"""Explanations: the innocent reason of each look, tried before anything judges it.

Rules this room keeps: templates are declared, reviewed files and are never mined, learned or proposed from the log; rows the actor
made are no context for the actor; a reason counts as of the access; what could not be checked is said and is no verdict.
"""

from custodes.explain.one import Tried, one
from custodes.explain.template import Template, load_folder, load_templates
from custodes.explain.verdicts import Explained, run

__all__ = ["Explained", "Template", "Tried", "load_folder", "load_templates", "one", "run"]
