package main

import (
	"fmt"
	"path/filepath"
)

// apiServerFlags keeps what tests rely on: RBAC, the ServiceAccount admission,
// token issuing with a public key set, and an audit log of writes without
// bodies, from which tests count requests.
func apiServerFlags(dir string, id *identity, etcd string, port int) []string {
	issuer := serverURL(port)
	return []string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + id.certFile,
		"--tls-private-key-file=" + id.keyFile,
		"--token-auth-file=" + id.tokenFile,
		"--authorization-mode=RBAC",
		"--service-account-issuer=" + issuer,
		"--service-account-jwks-uri=" + issuer + "/openid/v1/jwks",
		"--service-account-key-file=" + id.serviceAccountKeyFile,
		"--service-account-signing-key-file=" + id.serviceAccountKeyFile,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--audit-policy-file=" + filepath.Join(dir, "audit-policy.yaml"),
		"--audit-log-path=" + filepath.Join(dir, "audit.log"),
		"--profiling=false",
	}
}

// auditPolicy records who wrote what, never bodies. Leases and Events would be
// noise: every component writes them all the time.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "` + controllerManagerUser + `", "` + schedulerUser + `"]
- level: None
  resources:
  - {group: coordination.k8s.io, resources: [leases]}
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
`

// controllerManagerFlags leave out only the controllers that need a cloud or a
// network, and raise what makes rollouts wait.
func controllerManagerFlags(kubeconfig string, id *identity) []string {
	flags := []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
		"--controllers=*,-service-lb-controller,-node-ipam-controller,-node-route-controller," +
			"-cloud-node-lifecycle-controller,-persistentvolume-attach-detach-controller",
		"--root-ca-file=" + id.certFile,
		"--service-account-private-key-file=" + id.serviceAccountKeyFile,
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	}
	for _, kind := range []string{
		"deployment", "replicaset", "statefulset", "daemonset", "job", "cron-job", "gc", "namespace",
	} {
		flags = append(flags, "--concurrent-"+kind+"-syncs=20")
	}
	return flags
}

func schedulerFlags(kubeconfig string) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	}
}

func serverURL(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }
