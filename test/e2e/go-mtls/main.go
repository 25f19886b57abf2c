// SPDX-License-Identifier: Apache-2.0

// mTLS by go-spiffe: a server, a client, and a thousand connections that live while new ones are made.
//
//	echo                           a plain server that gives back what it gets
//	serve  -expect ID [-listen A]  an mTLS server for one id: says who came
//	dial   -expect ID -addr A      one round trip to a server of that id
//	live   -expect ID -addr A      -n connections that stay, -workers that make new ones without a pause, for -seconds; then a line of JSON
//	load   -addr A                 plain: -n connections that send and get back blocks for -seconds; -n 0: -workers that make new ones
//	key                            the private key of the caller's SVID in hex, for who looks whether it is where it must not be
//
// The Workload API is that of SPIFFE_ENDPOINT_SOCKET. Servers print their address first.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const patience = 15 * time.Second

var (
	listen  = flag.String("listen", "127.0.0.1:0", "where a server listens")
	addr    = flag.String("addr", "", "the server's address")
	expect  = flag.String("expect", "", "the peer's id")
	n       = flag.Int("n", 1000, "connections that stay")
	workers = flag.Int("workers", 4, "who make new connections")
	seconds = flag.Int("seconds", 20, "how long")
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func source() *workloadapi.X509Source {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	from, err := workloadapi.NewX509Source(ctx)
	must(err)
	return from
}

func accept(l net.Listener, one func(net.Conn)) {
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		must(err)
		go func() {
			defer c.Close()
			one(c)
		}()
	}
}

func echo() {
	l, err := net.Listen("tcp", *listen)
	must(err)
	accept(l, func(c net.Conn) { io.Copy(c, c) })
}

func serve() {
	from := source()
	id := spiffeid.RequireFromString(*expect)
	l, err := tls.Listen("tcp", *listen, tlsconfig.MTLSServerConfig(from, from, tlsconfig.AuthorizeID(id)))
	must(err)
	accept(l, func(c net.Conn) {
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			fmt.Println("refused", err)
			return
		}
		peer, err := x509svid.IDFromCert(c.(*tls.Conn).ConnectionState().PeerCertificates[0])
		fmt.Println("peer", peer, err)
		fmt.Fprintf(c, "%s %s", peer, line)
	})
}

func dial() {
	from := source()
	c, err := tls.Dial("tcp", *addr, tlsconfig.MTLSClientConfig(from, from, tlsconfig.AuthorizeID(spiffeid.RequireFromString(*expect))))
	must(err)
	defer c.Close()
	must(c.SetDeadline(time.Now().Add(patience)))
	fmt.Fprintln(c, "ping")
	line, err := bufio.NewReader(c).ReadString('\n')
	must(err)
	fmt.Print("ok ", line)
}

type counts struct {
	Live, Handshakes, Failed, Echoes, Broken int64
	Serials                                  int
	Why                                      string
}

type run struct {
	config  *tls.Config
	sum     counts
	mutex   sync.Mutex
	serials map[string]bool
}

func (r *run) fail(counter *int64, err error) {
	atomic.AddInt64(counter, 1)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.sum.Why == "" {
		r.sum.Why = err.Error()
	}
}

func (r *run) say(c net.Conn, word []byte) error {
	got := make([]byte, len(word))
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write(word); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, word) {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

// In TLS 1.3 a client hears of its refusal at the first read: a handshake counts when an echo came back.
func (r *run) connect() (*tls.Conn, error) {
	dialer := &net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(dialer, "tcp", *addr, r.config)
	if err == nil {
		err = r.say(c, []byte("hello"))
	}
	if err != nil {
		r.fail(&r.sum.Failed, err)
		return nil, err
	}
	atomic.AddInt64(&r.sum.Handshakes, 1)
	serial := c.ConnectionState().PeerCertificates[0].SerialNumber.Text(16)
	r.mutex.Lock()
	r.serials[serial] = true
	r.mutex.Unlock()
	return c, nil
}

func (r *run) open(end time.Time) []net.Conn {
	var lock sync.Mutex
	var all []net.Conn
	var wait sync.WaitGroup
	left := int64(*n)
	for range 16 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for atomic.AddInt64(&left, -1) >= 0 && time.Now().Before(end) {
				if c, err := r.connect(); err == nil {
					lock.Lock()
					all = append(all, c)
					lock.Unlock()
				}
			}
		}()
	}
	wait.Wait()
	return all
}

func live() {
	from := source()
	r := &run{serials: map[string]bool{}}
	r.config = tlsconfig.MTLSClientConfig(from, from, tlsconfig.AuthorizeID(spiffeid.RequireFromString(*expect)))
	all := r.open(time.Now().Add(60 * time.Second))
	r.sum.Live = int64(len(all))
	fmt.Println("live", len(all))
	end := time.Now().Add(time.Duration(*seconds) * time.Second)
	var wait sync.WaitGroup
	for range *workers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for time.Now().Before(end) {
				if c, err := r.connect(); err == nil {
					c.Close()
				}
			}
		}()
	}
	for time.Now().Before(end) {
		for i, c := range all {
			if err := r.say(c, []byte(fmt.Sprintf("still here %d", i))); err != nil {
				r.fail(&r.sum.Broken, err)
			} else {
				r.sum.Echoes++
			}
		}
	}
	wait.Wait()
	r.sum.Serials = len(r.serials)
	must(json.NewEncoder(os.Stdout).Encode(r.sum))
}

// What a relay carries, or how many connections a second it makes; no TLS here.
func load() {
	var done, connections int64
	var wait sync.WaitGroup
	end := time.Now().Add(time.Duration(*seconds) * time.Second)
	block := make([]byte, 64<<10)
	carry := func(c net.Conn) {
		defer c.Close()
		go func() {
			for time.Now().Before(end) {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
			c.(*net.TCPConn).CloseWrite()
		}()
		got, _ := io.Copy(io.Discard, c)
		atomic.AddInt64(&done, got)
	}
	connect := func() {
		for time.Now().Before(end) {
			c, err := net.Dial("tcp", *addr)
			must(err)
			_, err = c.Write(block[:5])
			must(err)
			_, err = io.ReadFull(c, make([]byte, 5))
			must(err)
			c.Close()
			atomic.AddInt64(&connections, 1)
		}
	}
	for range max(*n, *workers*(1-min(*n, 1))) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if *n == 0 {
				connect()
				return
			}
			c, err := net.Dial("tcp", *addr)
			must(err)
			carry(c)
		}()
	}
	wait.Wait()
	fmt.Println(done, connections)
}

func key() {
	svid, err := source().GetX509SVID()
	must(err)
	private, is := svid.PrivateKey.(*ecdsa.PrivateKey)
	if !is {
		must(fmt.Errorf("not of ECDSA"))
	}
	fmt.Println(hex.EncodeToString(private.D.FillBytes(make([]byte, (private.Params().BitSize+7)/8))))
}

func main() {
	modes := map[string]func(){"echo": echo, "serve": serve, "dial": dial, "live": live, "load": load, "key": key}
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		must(fmt.Errorf("echo, serve, dial, live, load or key"))
	}
	must(flag.CommandLine.Parse(os.Args[2:]))
	modes[os.Args[1]]()
}
