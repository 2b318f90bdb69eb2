//! What only the hands may use: it starts processes and talks to Docker.
