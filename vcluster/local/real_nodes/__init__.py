"""Real nodes of the local super cluster: containerd, kubelet and kube-proxy in private namespaces.

The host is left alone: each node has its own mount, network, pid, ipc, uts and cgroup namespaces, and
all nodes hang on a router in a network namespace of its own (``network``). The host sees one network
interface with routes, and a cgroup; both are named after the state directory, so that the leftovers
of a killed run are found (``leftovers``). Inside, every process belongs to the node's PID 1
(``inside``): when that ends, the kernel ends them all and undoes mounts and interfaces.
"""
