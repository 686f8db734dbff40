// Command stand is what the packages and the scripts beside it are tried
// against: a simulated Duo with some records, and a receiver that takes lines
// over TCP. In its folder it leaves
//
//	duo.host        where Duo answers, HOST:PORT
//	ca.pem          the authority of Duo's certificate
//	siem.port       the receiver's port on 127.0.0.1
//	received.ndjson what the receiver has got
//	ready           once all of that is there
//
// SIGUSR1 gives Duo a few records more. SIGTERM ends it.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"dls/job/duo"
	"dls/job/duosim"
)

const (
	parent = "DA0000000000000STAND"
	ikey   = "DI0000000000000STAND"
	skey   = "not-a-secret-not-a-secret-not-a-secret-n"
)

func main() {
	dir := flag.String("dir", "", "the `folder` for what it tells")
	children := flag.Int("children", 0, "child accounts, which make it an MSP's Duo")
	records := flag.Int("records", 40, "records of each endpoint and account to begin with")
	flag.Parse()
	if err := run(*dir, *children, *records); err != nil {
		fmt.Fprintln(os.Stderr, "stand: error:", err)
		os.Exit(1)
	}
}

func run(dir string, children, records int) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1)

	accounts := []duosim.Account{{ID: parent, Name: "Stand", Ikey: ikey, Skey: skey, MSP: children > 0}}
	for i := range children {
		accounts = append(accounts, duosim.Account{ID: fmt.Sprintf("DA%018d", i+1), Name: fmt.Sprintf("Child %d", i+1), Parent: parent})
	}
	sim := duosim.New(accounts...)
	if err := sim.Start(); err != nil {
		return err
	}
	defer sim.Close()
	if children > 0 {
		accounts = accounts[1:]
	}
	add := func(seed, count int, from time.Time) {
		for _, a := range accounts {
			for _, endpoint := range duo.All() {
				sim.Add(a.ID, endpoint.Name, duosim.Generator{Seed: uint64(seed), Jitter: true}.Generate(endpoint.Name, count, from, time.Minute)...)
			}
		}
	}
	began := time.Now().Add(-time.Hour)
	add(0, records, began)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, "received.ndjson"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	go receive(l, file)

	for _, f := range []struct{ name, text string }{
		{"duo.host", sim.Host(parent)},
		{"ca.pem", string(sim.CAPEM())},
		{"siem.port", strconv.Itoa(l.Addr().(*net.TCPAddr).Port)},
		{"ready", ""},
	} {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	for seed := 1; ; seed++ {
		if <-signals != syscall.SIGUSR1 {
			return nil
		}
		add(seed, 3, began.Add(time.Duration(records+3*seed)*time.Minute))
	}
}

// receive writes what each connection brings once its sender has ended it, and
// then ends it too.
func receive(l net.Listener, file io.Writer) {
	var mu sync.Mutex
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			text, err := io.ReadAll(bufio.NewReader(conn))
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			file.Write(text) // a test that counts the lines finds what is missing
		}()
	}
}
