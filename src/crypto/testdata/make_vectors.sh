#!/usr/bin/env bash
# Prints the known-answer vectors of src/crypto, made by openssl's command line (3.0 or newer) and
# by nothing of this project:
#
#     src/crypto/testdata/make_vectors.sh > src/crypto/testdata/vectors.txt
#
# Lines are `name = value`; values are hexadecimal unless the name ends in `_base64`. A test runs
# this script again and compares it with the committed file.
set -euo pipefail

say() { printf '%s = %s\n' "$1" "$2"; }
unhex() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }
tohex() { od -An -v -tx1 | tr -d ' \n'; }
text() { printf '%s' "$1" | tohex; }
u32() { printf '%08x' "$1"; }
# hkdf IKM_HEX INFO_HEX BYTES: HKDF-SHA256 without salt
hkdf() {
    openssl kdf -keylen "$3" -kdfopt digest:SHA256 -kdfopt "hexkey:$1" -kdfopt "hexinfo:$2" \
        -binary HKDF | tohex
}
# cbc KEY_HEX IV_HEX PLAIN_HEX: AES-256-CBC with PKCS#7
cbc() { unhex "$3" | openssl enc -aes-256-cbc -K "$1" -iv "$2" | tohex; }
hmac() { unhex "$2" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$1" -binary | tohex; }
base64_of() { unhex "$1" | openssl base64 -A; }

chat_key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
chat_iv=f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff
room_id=0190a1b2c3d47e5f8a9b0c1d2e3f4051
say chat_key "$chat_key"
say chat_iv "$chat_iv"
say room_id "$room_id"

# Sealed values: name, plaintext (hex), associated data (hex), IV.
seal() {
    local name=$1 scope=$2 plain=$3 aad=$4 iv=$5 keys body
    keys=$(hkdf "$chat_key" "$(text 'tertulia at rest v1')$scope" 64)
    body=0107$iv$(cbc "${keys:0:64}" "$iv" "$plain") # version 1, key id 7
    say "${name}_keys" "$keys"
    say "${name}_scope" "$scope"
    say "${name}_plain" "$plain"
    say "${name}_aad" "$aad"
    say "${name}_iv" "$iv"
    say "${name}_sealed" "$body$(hmac "${keys:64:64}" "$(u32 $((${#aad} / 2)))$aad$body")"
}
iv=a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
seal seal_empty "$room_id" "" "" "$iv"
seal seal_text "$room_id" "$(text '¿Qué tal? 👋 Nos vemos a las 8.')" "$(text 'messages:42')" "$iv"
seal seal_block "$room_id" "$(text 'exactly 16 bytes')" "$(text 'x')" "$iv"
seal seal_user "$(text 'tertulia user data')" "$(text 'device token')" "$(text 'tokens')" "$iv"

# The process secret and a room key of it.
salt=00112233445566778899aabbccddeeff
fresh=0f1e2d3c4b5a69788796a5b4c3d2e1f0
secret=$(openssl kdf -keylen 32 -kdfopt "hexpass:$chat_key" -kdfopt "hexsalt:$salt" \
    -kdfopt n:16384 -kdfopt r:8 -kdfopt p:1 -binary SCRYPT | tohex)
room_key=$(hkdf "$secret" "$room_id$fresh" 32)
room_iv=303132333435363738393a3b3c3d3e3f
say scrypt_salt "$salt"
say process_secret "$secret"
say fresh "$fresh"
say room_key "$room_key"
say room_iv "$room_iv"

# encryption_data in our order of fields, and in that of a client that sorts them; client content.
wrap() { base64_of "$(cbc "$chat_key" "$chat_iv" "$(text "$1")")"; }
say encryption_data_base64 "$(wrap "{\"key\":\"$room_key\",\"iv\":\"$room_iv\"}")"
say encryption_data_sorted_base64 "$(wrap "{\"iv\": \"$room_iv\", \"key\": \"$room_key\"}")"
content=$(text 'Nos vemos a las 8 ☕')
say content "$content"
say content_base64 "$(base64_of "$(cbc "$room_key" "$room_iv" "$content")")"
say content_empty_base64 "$(base64_of "$(cbc "$room_key" "$room_iv" "")")"
