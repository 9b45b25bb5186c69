# Holds a server: FOLDER PROGRAM ARGUMENT...
# Its output is the server's alone, so it ends with the server. Orders come in as lines, and are answered on stderr.
folder=$1
shift
"$@" </dev/null 2>&1 &
server=$!
exec >/dev/null
echo "$server" >&2

keep=
while read -r order; do
    case $order in
    keep) keep=yes ;;
    *)
        kill -s "$order" "$server"
        echo done >&2
        ;;
    esac
done

# Nobody gives orders any more: the test has dropped the server, or is dead. Until `wait` the number is the server's, dead or alive.
exec 2>/dev/null
kill -s KILL "$server"
wait "$server"
test "$keep" || rm -rf -- "$folder"
