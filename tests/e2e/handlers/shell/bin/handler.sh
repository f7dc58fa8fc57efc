#!/bin/sh
# A handler as small as they come: it keeps a file with the text of its settings, and fails by its exit code.
set -eu
command=$1
home=$(cd "$(dirname "$0")/.." && pwd)
release=first
log=/var/log/azure/Contoso.Test.Shell
mkdir -p "$log"
echo "$(date -u +%H:%M:%S) $command of ${home##*-} ($release)" >>"$log/handler.log"
[ "$command" = enable ] || exit 0

settings=$home/config/$ConfigSequenceNumber.settings
value() { sed -nE "s/.*\"$1\": *\"([^\"]*)\".*/\1/p" "$2" | head -n 1; }

text=$(value text "$settings")
secret=none
encrypted=$(value protectedSettings "$settings")
if [ -n "$encrypted" ]; then
  thumbprint=$home/../$(value protectedSettingsCertThumbprint "$settings")
  umask 077
  echo "$encrypted" | base64 -d | openssl smime -inform DER -decrypt -recip "$thumbprint.crt" -inkey "$thumbprint.prv" >"$home/secret"
  secret=$(value key "$home/secret" | wc -c)
  rm "$home/secret"
fi
if [ "$text" = fail ]; then
  echo "the shell handler was told to fail" | tee -a "$log/handler.log" >&2
  exit 3
fi
echo "$text" >/var/tmp/contoso-shell
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
cat >"$home/status/$ConfigSequenceNumber.status" <<STATUS
[{"version": 1.0, "timestampUTC": "$now", "status": {"name": "Shell", "operation": "Enable", "configurationAppliedTime": "$now",
  "status": "success", "code": 0, "formattedMessage": {"lang": "en-US", "message": "$release says $text, key of $secret bytes"}}}]
STATUS
