"""`joint-richardson-lucy`: one finer map of far-infrared maps of several beams."""
