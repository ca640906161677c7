#!/bin/sh
# Writes the secrets that the manifests refer to, new and random, to stdout: for `kubectl apply -f -`, or for what seals
# them (`kubeseal`, `sops`). Run it once for a log: the master key opens what is in it, and another one does not.
#
#   deploy/k8s/secrets.sh | kubectl create -f -      (create: what is there already stays as it is)
set -eu
umask 077

random() { od -An -vN 32 -tx1 /dev/urandom | tr -d ' \n'; }

secret() { # name type line...
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: memlog\n' "$1"
  printf '  labels:\n    app.kubernetes.io/part-of: memlog\ntype: %s\nstringData:\n' "$2"
  shift 2
  printf '  %s\n' "$@"
}

role() { # name of the secret, role
  password=$(random)
  secret "$1" kubernetes.io/basic-auth "username: $2" "password: \"$password\"" \
    "dsn: \"postgresql://$2:$password@postgres-rw:5432/memlog\""
}

secret memlog-master-key Opaque "master_key: \"$(random)\""
secret memlog-operator Opaque "admin_token: \"$(random)\""
secret memlog-qdrant Opaque "api_key: \"$(random)\""

users="gateway memory-writer indexer categorizer audit operator"
set --
passwords="passwords.conf: |"
for user in $users; do
  password=$(random)
  set -- "$@" "$user: \"$password\""
  passwords="$passwords
    $(echo "$user" | tr - _)_password: \"$password\""
done
secret memlog-nats Opaque "$@" "$passwords"

role memlog-postgres-audit memlog_audit
role memlog-postgres-gateway memlog_gateway
# Of the overlay `single`; CloudNativePG makes one of its own.
secret memlog-postgres-admin Opaque "password: \"$(random)\""
