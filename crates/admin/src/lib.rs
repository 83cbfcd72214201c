//! HTTP: health, metrics and AdminServer commands.
