"""What no lane changes: found from the operations of a pass, held once, computed once for all lanes."""
