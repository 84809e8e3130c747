#!/bin/sh
# One request as `holdfast agent` makes it, signed, to try a server by hand (docs/agent.md). Needs curl and openssl.
#
#   agent-request.sh GET '/instructions?max=20'
#   agent-request.sh POST /status '{"status":"online"}'
#
# Prints the status and the body of the answer. AGENT_TOKEN, SERVER_URL and SIGNED_AT (milliseconds since 1970) may be set.
set -eu
method=$1 route=/api/agent/v1$2 body=${3-}
token=${AGENT_TOKEN:-my-agent-token}
at=${SIGNED_AT:-$(date +%s)000}

hash=$(printf %s "$body" | openssl dgst -sha256 -r)
signature=$(printf 'v1\n%s\n%s\n%s\n%s' "$method" "$route" "$at" "${hash%% *}" | openssl dgst -sha256 -hmac "$token" -r)

set -- --silent --request "$method" --write-out '\n%{http_code}' \
  --header "Authorization: Bearer $token" --header "X-Agent-Instance: by-hand" \
  --header 'X-Signature-Version: v1' --header "X-Signature-Timestamp: $at" --header "X-Signature: sha256=${signature%% *}"
if [ -n "$body" ]; then
  set -- "$@" --header 'Content-Type: application/json' --data-binary "$body"
fi
answer=$(curl "$@" "${SERVER_URL:-http://127.0.0.1:3000}$route")
printf '%s %s\n' "${answer##*
}" "${answer%
*}"
