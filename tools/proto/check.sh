#!/bin/sh
# The rules of proto/buf.yaml: names, comments, and that nothing a client may rely on has changed since
# proto/released.binpb. With the argument `keep` the files as they are become that, if they break nothing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
"$here/buf.sh" lint
if ! "$here/buf.sh" breaking --against released.binpb; then
    echo "clients of released.binpb would break; see 'Changing the protocol' in CONTRIBUTING.md" >&2
    exit 1
fi
if [ "${1:-}" = keep ]; then
    "$here/buf.sh" build --as-file-descriptor-set --exclude-source-info -o released.binpb
fi
