#!/bin/sh
# Stands in for ray: the head serves something at its port, the others find it there and stay.
case "$1" in
start)
    for argument; do
        [ "$argument" = --head ] && exec httpd -f -p 6379 -h /www
    done
    exec tail -f /dev/null
    ;;
health-check) exec wget -q -O /dev/null "http://$3/" ;;
esac
