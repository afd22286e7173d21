"""Programs that make what ships: they train the demo's encoder and black box, measure them, and write their cards."""
