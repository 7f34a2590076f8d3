package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// identity is who the control plane is and who may enter it. Everything is
// made anew at each start.
type identity struct {
	certFile, keyFile     string // the server's certificate with its authority
	serviceAccountKeyFile string // signs service account tokens (RSA, as on EKS)
	tokenFile             string
	caPEM                 []byte
	tokens                map[string]string // user -> bearer token
}

// Users of the token file. All are cluster admins: the components' own roles
// are not what is under test, and RBAC holds for everybody else.
const (
	adminUser             = "keyferry-test-admin"
	controllerManagerUser = "system:kube-controller-manager"
	schedulerUser         = "system:kube-scheduler"
)

func newIdentity(dir string) (*identity, error) {
	id := &identity{
		certFile:              filepath.Join(dir, "server.crt"),
		keyFile:               filepath.Join(dir, "server.key"),
		serviceAccountKeyFile: filepath.Join(dir, "service-account.key"),
		tokenFile:             filepath.Join(dir, "tokens.csv"),
		tokens:                map[string]string{},
	}
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("127.0.0.1",
		[]net.IP{net.IPv4(127, 0, 0, 1)},
		[]string{"localhost", "kubernetes.default.svc"})
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	id.caPEM = certPEM
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("service account key: %w", err)
	}
	signerPEM, err := keyutil.MarshalPrivateKeyToPEM(signer)
	if err != nil {
		return nil, fmt.Errorf("service account key: %w", err)
	}
	var rows []byte
	for _, user := range []string{adminUser, controllerManagerUser, schedulerUser} {
		token := make([]byte, 24)
		rand.Read(token)
		id.tokens[user] = hex.EncodeToString(token)
		rows = fmt.Appendf(rows, "%s,%s,%s,system:masters\n", id.tokens[user], user, user)
	}
	for path, content := range map[string][]byte{
		id.certFile: certPEM, id.keyFile: keyPEM, id.serviceAccountKeyFile: signerPEM, id.tokenFile: rows,
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
	}
	return id, nil
}

// kubeconfig writes a file with which the user enters the server.
func (id *identity) kubeconfig(path, server, user string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["keyferry-test"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: id.caPEM}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: id.tokens[user]}
	config.Contexts["keyferry-test"] = &clientcmdapi.Context{Cluster: "keyferry-test", AuthInfo: user}
	config.CurrentContext = "keyferry-test"
	return clientcmd.WriteToFile(*config, path)
}
