// Command control-plane is a whole Kubernetes control plane in one program:
// API server, controller manager, scheduler and kubectl, chosen by the name it
// is called by or by its first argument, and `up`, which runs them all with an
// etcd inside.
// With links named etcd, kube-apiserver and so on it also makes a folder that
// anything can use as KUBEBUILDER_ASSETS.
//
// It serves tests: data is never synced to disk and nothing survives its end.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/restclient"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

const usage = `usage: control-plane up --dir D [--remove]
       control-plane kube-apiserver|kube-controller-manager|kube-scheduler|kubectl|etcd ...`

func main() {
	name := filepath.Base(os.Args[0])
	if !run(name) {
		if len(os.Args) > 1 {
			// The commands read os.Args themselves, so the dispatching word goes.
			name, os.Args = os.Args[1], os.Args[1:]
		}
		if !run(name) {
			fmt.Fprintln(os.Stderr, usage)
			os.Exit(2)
		}
	}
}

// run executes the named component and reports whether there is one. It comes
// back only for `kubectl`; the others end the process.
func run(name string) bool {
	switch name {
	case "kube-apiserver":
		endWithSupervisor()
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		endWithSupervisor()
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	case "kube-scheduler":
		endWithSupervisor()
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "etcd":
		etcdmain.Main(os.Args)
	case "kubectl":
		logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
	case "up":
		if err := up(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "control-plane:", err)
			os.Exit(1)
		}
	default:
		return false
	}
	return true
}

// endWithSupervisor ends a supervised component when its standard input ends.
// The supervisor holds the other end and never writes, so the component goes
// however the supervisor went, SIGKILL included, on every Unix.
func endWithSupervisor() {
	if os.Getenv(supervisedVariable) == "" {
		return
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}
