"""What `./dev` runs. Each file uses only those before it: shell, packages, cargo, servers, system, measure."""
