#!/bin/sh
# Makes the secrets of a deployment, each in a file of its own: sh deploy/secrets.sh [folder], by default secrets/.
#   redis-<user>     password of a Redis user
#   redis-users.acl  deploy/redis/users.acl with the hashes of those passwords, as Redis loads it
#   grafana-admin    password of Grafana's user admin
#   alerts-webhook   secret that signs the webhooks of alerts
#   web-token        what the HTTP API asks for, if it is told to
# It keeps the passwords that exist. To replace one, remove its file, run this again, and restart what uses it.
set -eu
rules=$(dirname "$0")/redis/users.acl
folder=${1:-$(dirname "$0")/../secrets}

password() { # NAME: of the file
    [ -s "$folder/$1" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$1"
}

hash() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# Each container reads its files as a user of its own, so anyone may read them who can reach them: keep the folder shut.
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

password grafana-admin
password web-token
password alerts-webhook
one_line_a_user=$(sed 's/ *#.*//; /^$/d' "$rules" | awk '/^user / && line { print line; line = "" } { sub(/^ +/, " "); line = line $0 } END { print line }')
echo "$one_line_a_user" | while read -r _ user rest; do
    if [ "$user" = default ]; then
        echo "user default $rest"
    else
        password "redis-$user"
        echo "user $user on #$(hash <"$folder/redis-$user") resetkeys resetchannels -@all $rest"
    fi
done >"$folder/redis-users.acl.new"
mv "$folder/redis-users.acl.new" "$folder/redis-users.acl"
echo "$folder: $(ls "$folder" | tr '\n' ' ')"
