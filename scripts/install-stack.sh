#!/usr/bin/env bash
# Installs what scripts/stack.mjs and the tests need on Debian 12 (as root): Java, Maven, PostgreSQL 15, kcat, poppler
# (an independent PDF reader), OpenSSH's server (SFTP), and the Maven artifacts, so that a later start needs no network. Does nothing that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
need() { # need <package> <file or command that shows it is there>
  command -v "$2" >/dev/null 2>&1 || [ -e "$2" ] || packages+=("$1")
}

java_major=$({ java -version 2>&1 || true; } | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
if [ "${java_major:-0}" -lt 17 ]; then packages+=(openjdk-17-jre-headless); fi
need maven mvn
need postgresql-15 /usr/lib/postgresql/15/bin/initdb
need kcat kcat
need poppler-utils pdftotext
need openssh-server /usr/sbin/sshd # an SFTP server
# Parts of the stack that later tests add here:
# need orthanc Orthanc             (a PACS)
# need dcmtk storescu              (DICOM clients)
# need mariadb-server mariadbd     (a source database)
# need chromium chromium           (the console)

if [ "${#packages[@]}" -gt 0 ]; then
  # Debian's package would create and start a cluster of its own on port 5432. Clusters that exist are left alone.
  no_cluster=/etc/postgresql-common/createcluster.d/hutong-stack.conf
  trap 'rm -f "$no_cluster"' EXIT
  mkdir -p "$(dirname "$no_cluster")"
  echo 'create_main_cluster = false' >"$no_cluster"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -y -q --no-install-recommends "${packages[@]}"
fi

node scripts/stack.mjs resolve
echo 'stack: installed'
