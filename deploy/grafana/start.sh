#!/bin/sh
# start.sh COMMAND: makes a password for Grafana's administrator, once, and then runs the command. The password has 192
# random bits and lies in a file of Grafana's volume that only Grafana's user may read. Without it Grafana takes admin/admin.
set -eu
file=${GF_SECURITY_ADMIN_PASSWORD__FILE:?names the file that holds the password}
if [ ! -s "$file" ]; then
    (umask 077 && head -c 24 /dev/urandom | base64 > "$file.new" && mv "$file.new" "$file")
fi
exec "$@"
