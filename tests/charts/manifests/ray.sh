#!/bin/sh
echo "ray $*" >&2
case "$1" in
start) for a; do [ "$a" = --head ] && exec /agnhost netexec --http-port=6379; done; while :; do sleep 5; done;;
health-check) shift; for a; do [ -n "$next" ] && addr=$a; next=; [ "$a" = --address ] && next=1; done; exec wget -q -O /dev/null http://$addr/hostname;;
*) exit 0;;
esac
