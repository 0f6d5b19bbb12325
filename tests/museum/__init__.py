"""A museum of broken losses: every defect of published code that a law must reject."""
