# One HTTP request on standard input, its answer on standard output: webhooks, and metrics.k8s.io as the
# node agents tell it (the memory; each container uses 900m of CPU).
CR=$(printf '\r')
read -r _method path _version
length=0
while IFS= read -r line && line=${line%"$CR"} && [ -n "$line" ]; do
  case $line in [Cc]ontent-[Ll]ength:*) length=${line#*: } ;; esac
done
body=$(head -c "$length")
uid=$(printf '%s\n' "$body" | sed -n 's/.*"request":{"uid":"\([^"]*\)".*/\1/p')

answer() { # status, body
  printf 'HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n' "$1"
  printf 'Content-Length: %s\r\n\r\n%s' "${#2}" "$2"
}

review() { # fields of the response
  answer '200 OK' '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"'"$uid"'",'"$1"'}}'
}

convert() {
  objects=$(printf '%s\n' "$body" | sed -n 's/.*"objects":\(\[.*\]\)},"response".*/\1/p')
  wanted=$(printf '%s\n' "$body" | sed -n 's/.*"desiredAPIVersion":"\([^"]*\)".*/\1/p')
  objects=$(printf '%s\n' "$objects" | sed 's#"apiVersion":"example.com/v[12]"#"apiVersion":"'"$wanted"'"#g')
  answer '200 OK' '{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","response":{"uid":"'"$uid"'","result":{"status":"Success"},"convertedObjects":'"$objects"'}}'
}

agent() {
  token=$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)
  printf 'GET /metrics/resource HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer %s\r\n\r\n' "$token" |
    socat -t 20 - "OPENSSL:$NODE_ADDRESS:10550,verify=0"
}

pods() {
  namespace=$(printf '%s' "$path" | sed -n 's#.*/namespaces/\([^/?]*\)/.*#\1#p')
  items=$(agent | sed -n 's/^container_memory_working_set_bytes{container="\(.*\)",namespace="'"${namespace:-default}"'",pod="\(.*\)"} \([^ ]*\).*/\1 \2 \3/p' |
    awk -v now="$(date -u +%Y-%m-%dT%H:%M:%SZ)" -v ns="${namespace:-default}" '{
      printf "%s{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"},\"timestamp\":\"%s\",\"window\":\"1s\",\"containers\":[{\"name\":\"%s\",\"usage\":{\"cpu\":\"900m\",\"memory\":\"%d\"}}]}", (NR > 1 ? "," : ""), $2, ns, now, $1, $3 }')
  answer '200 OK' '{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":['"$items"']}'
}

nodes() {
  usage=$(agent | sed -n 's/^node_memory_working_set_bytes \([^ ]*\).*/\1/p' | awk '{ printf "%d", $1 }')
  answer '200 OK' '{"kind":"NodeMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[{"metadata":{"name":"'"$NODE_NAME"'"},"timestamp":"'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'","window":"1s","usage":{"cpu":"1","memory":"'"${usage:-0}"'"}}]}'
}

case $path in
/validate*)
  case $body in
  *forbidden*) review '"allowed":false,"status":{"message":"the hook says no"}' ;;
  *) review '"allowed":true' ;;
  esac ;;
/mutate*)
  patch=$(printf '[{"op":"add","path":"/data/mutated","value":"yes"}]' | base64 | tr -d '\n')
  review '"allowed":true,"patchType":"JSONPatch","patch":"'"$patch"'"' ;;
/convert*) convert ;;
/apis/metrics.k8s.io/v1beta1 | /apis/metrics.k8s.io/v1beta1\?*)
  answer '200 OK' '{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[{"name":"nodes","singularName":"","namespaced":false,"kind":"NodeMetrics","verbs":["get","list"]},{"name":"pods","singularName":"","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}]}' ;;
/apis/metrics.k8s.io/v1beta1/nodes*) nodes ;;
/apis/metrics.k8s.io/v1beta1/*pods*) pods ;;
*) answer '404 Not Found' '{}' ;;
esac
