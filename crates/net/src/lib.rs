//! Face networks as data: nodes, shapes, named parameters, cost and model files.
