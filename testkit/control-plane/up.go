package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/version"
)

// readyWithin bounds a start. A loaded machine needs many times the usual few
// seconds; a start that hangs for ever would be worse than a failure.
const readyWithin = 3 * time.Minute

// report is the one line on standard output: the control plane is ready.
type report struct {
	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	Issuer     string `json:"issuer"`
	Version    string `json:"version"`
	Pid        int    `json:"pid"`
	AuditLog   string `json:"auditLog"`
}

// up starts everything, reports, and runs until standard input ends, a signal
// comes or a component dies.
func up(arguments []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	remove := flags.Bool("remove", false, "remove the directory after a clean end")
	dir := flags.String("dir", "", "where kubeconfig, keys, data and logs go; made if missing, old data is removed")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *dir == "" || flags.NArg() > 0 {
		return errors.New(usage)
	}
	stop := stopRequests()
	p, err := newPlane(*dir)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := p.start(stop); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(p.report()); err != nil {
		return err
	}
	if err := p.wait(stop); err != nil {
		return err
	}
	p.stop()
	if *remove {
		return os.RemoveAll(p.dir)
	}
	return nil
}

// stopRequests is closed when standard input ends or a signal comes.
func stopRequests() <-chan struct{} {
	stop := make(chan struct{})
	ended := make(chan struct{})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	go func() {
		select {
		case <-signals:
		case <-ended:
		}
		close(stop)
	}()
	return stop
}

type plane struct {
	dir      string
	id       *identity
	port     int
	etcd     *embed.Etcd
	children []*child
}

var errStopped = errors.New("stopped before it was ready")

func newPlane(dir string) (*plane, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, old := range []string{"etcd", "audit.log", "kubeconfig"} {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	id, err := newIdentity(dir)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	policy := filepath.Join(dir, "audit-policy.yaml")
	return &plane{dir: dir, id: id, port: port}, os.WriteFile(policy, []byte(auditPolicy), 0o600)
}

// freePort looks below the range from which kernels take ports for outgoing
// connections, so that no client can take the port before the server does.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port between 20000 and 32000 on 127.0.0.1")
}

func (p *plane) file(name string) string { return filepath.Join(p.dir, name) }

// start runs the components in the order in which they need each other.
func (p *plane) start(stop <-chan struct{}) error {
	etcd, etcdURL, err := startEtcd(p.dir)
	if err != nil {
		return err
	}
	p.etcd = etcd
	for name, user := range map[string]string{
		"kubeconfig":                    adminUser,
		"controller-manager.kubeconfig": controllerManagerUser,
		"scheduler.kubeconfig":          schedulerUser,
	} {
		if err := p.id.kubeconfig(p.file(name), serverURL(p.port), user); err != nil {
			return err
		}
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	if err := p.child("kube-apiserver", apiServerFlags(p.dir, p.id, etcdURL, p.port)); err != nil {
		return err
	}
	err = p.until(stop, func(ctx context.Context) bool {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
	})
	if err != nil {
		return err
	}
	err = p.child("kube-controller-manager", controllerManagerFlags(p.file("controller-manager.kubeconfig"), p.id))
	if err != nil {
		return err
	}
	if err := p.child("kube-scheduler", schedulerFlags(p.file("scheduler.kubeconfig"))); err != nil {
		return err
	}
	// The first things controllers make; before them no pod can be created.
	return p.until(stop, func(ctx context.Context) bool {
		_, account := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		_, authority := client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return account == nil && authority == nil
	})
}

func (p *plane) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", p.file("kubeconfig"))
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return kubernetes.NewForConfig(config)
}

func (p *plane) child(name string, flags []string) error {
	c, err := startChild(p.dir, name, flags)
	if err == nil {
		p.children = append(p.children, c)
	}
	return err
}

// until asks again and again, and gives up when asked to stop or when a
// component has died.
func (p *plane) until(stop <-chan struct{}, done func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for !done(ctx) {
		select {
		case <-stop:
			return errStopped
		case <-ctx.Done():
			return fmt.Errorf("not ready within %v; logs are in %s", readyWithin, p.dir)
		case <-time.After(50 * time.Millisecond):
		}
		if err := p.dead(); err != nil {
			return err
		}
	}
	return nil
}

// dead reports a component that ended by itself.
func (p *plane) dead() error {
	for _, c := range p.children {
		select {
		case err := <-c.ended:
			c.ended <- err // stop waits for it too
			return c.failure(err)
		default:
		}
	}
	return nil
}

func (p *plane) wait(stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Second):
			if err := p.dead(); err != nil {
				return err
			}
		}
	}
}

func (p *plane) report() report {
	return report{
		Kubeconfig: p.file("kubeconfig"),
		Server:     serverURL(p.port),
		Issuer:     serverURL(p.port),
		Version:    version.Get().GitVersion,
		Pid:        os.Getpid(),
		AuditLog:   p.file("audit.log"),
	}
}

func (p *plane) stop() {
	for _, c := range p.children {
		c.stop()
	}
	p.children = nil
	if p.etcd != nil {
		p.etcd.Server.HardStop()
		p.etcd = nil
	}
}
