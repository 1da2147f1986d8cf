#!/bin/sh
# MariaDB as an agent runs it: makes a data directory where there is none, and serves it.
#
#   serve.sh DATADIR KEYFILE [OPTION...]
#
# KEYFILE is what file_key_management reads, "-" while the node is not encrypted. The server reads it once, as
# it starts. The key is needed from the first byte on: system tables are encrypted as well. mariadbd and
# mariadb-install-db are on the PATH; the server's own options come from OPTION.
set -eu

data=$1 key=$2
shift 2
set -- --no-defaults --datadir="$data" "$@"
if [ "$key" != - ]; then
  set -- "$@" --plugin-load-add=file_key_management --file-key-management-filename="$key" \
    --file-key-management-encryption-algorithm=AES_CTR \
    --innodb-encrypt-tables=FORCE --innodb-encrypt-log=ON --innodb-encrypt-temporary-tables=ON \
    --aria-encrypt-tables=ON --encrypt-tmp-disk-tables=ON --encrypt-tmp-files=ON --encrypt-binlog=ON
fi

# A first start that was interrupted is begun anew: nothing was served from it.
mkdir -p "$data"
if [ -z "$(ls -A "$data")" ] || [ -e "$data/installing" ]; then
  : >"$data/installing"
  find "$data" -mindepth 1 ! -path "$data/installing" -delete
  mariadb-install-db "$@" --skip-test-db --auth-root-socket-user="$(id -un)"
  rm "$data/installing"
fi

# MyISAM, CSV and other engines do not encrypt: nobody makes tables with them.
exec mariadbd "$@" --enforce-storage-engine=InnoDB
