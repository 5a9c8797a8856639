"""World models: from recorded frames to a prediction of the next one."""
