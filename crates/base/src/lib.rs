//! Clock, disk, network, random, TLS and metrics, without any domain noun.
