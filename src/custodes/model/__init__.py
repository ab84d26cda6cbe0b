"""The words of custodes as pure values. Only `model.arrow` knows Arrow; everything else is the standard library alone."""
