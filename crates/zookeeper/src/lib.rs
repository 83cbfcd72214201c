//! Door 2181: frames, sessions' connections, reply order and four-letter words.
