package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// supervisedVariable tells a component that its standard input is the
// supervisor's pipe.
const supervisedVariable = "KEYFERRY_CONTROL_PLANE_SUPERVISED"

// child is one running component with its log in a file of the directory.
type child struct {
	name    string
	log     string
	process *os.Process
	ended   chan error
}

// startChild runs this same program as the named component.
func startChild(dir, name string, flags []string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logPath := filepath.Join(dir, name+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()

	command := exec.Command(program, append([]string{name}, flags...)...)
	command.Stdout, command.Stderr = log, log
	command.Env = append(os.Environ(), supervisedVariable+"=1")
	// Ctrl-C in a terminal reaches a whole process group: the components leave
	// it, so that only the supervisor decides when they end.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if _, err := command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := &child{name: name, log: logPath, process: command.Process, ended: make(chan error, 1)}
	go func() { c.ended <- command.Wait() }()
	return c, nil
}

// failure describes an end nobody asked for, with the last lines of the log.
func (c *child) failure(err error) error {
	content, _ := os.ReadFile(c.log)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if len(lines) > 12 {
		lines = lines[len(lines)-12:]
	}
	return fmt.Errorf("%s ended (%v); the end of %s:\n%s", c.name, err, c.log, strings.Join(lines, "\n"))
}

// stop kills without grace: there is no state worth a clean end.
func (c *child) stop() {
	c.process.Kill()
	<-c.ended
}
