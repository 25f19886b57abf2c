// SPDX-License-Identifier: Apache-2.0

// Clients of Go that know SPIFFE and OpenID Connect but not Merlon: one line a case, exit 1 when one failed. What is where comes as JSON
// on standard input. federation: go-spiffe on two servers; relying-party: go-oidc verifies JWT-SVIDs by discovery alone.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type side struct {
	Domain     string `json:"domain"`
	Socket     string `json:"socket"`      // of the Workload API
	WebURL     string `json:"web_url"`     // bundle endpoint of profile https_web
	WebCA      string `json:"web_ca"`      // PEM
	SpiffeURL  string `json:"spiffe_url"`  // and of https_spiffe
	EndpointID string `json:"endpoint_id"` // whose SVID that one shows
	ID         string `json:"id"`          // of the workload
}

type world struct {
	One side `json:"one"`
	Two side `json:"two"`
}

var failed bool

func check(name string, holds bool, why any) bool {
	if holds {
		fmt.Printf("passed %s\n", name)
		return true
	}
	failed = true
	fmt.Printf("failed %s: %v\n", name, why)
	return false
}

// The bundle of a side by both profiles; what is not shown to be it is refused.
func fetch(ctx context.Context, s, other side) *spiffebundle.Bundle {
	td := spiffeid.RequireTrustDomainFromString(s.Domain)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.WebCA))
	web, err := federation.FetchBundle(ctx, td, s.WebURL, federation.WithWebPKIRoots(roots))
	if !check("https_web fetch "+s.Domain, err == nil && len(web.X509Authorities()) > 0 && len(web.JWTAuthorities()) > 0, err) {
		return nil
	}
	hint, has := web.RefreshHint()
	check("refresh hint "+s.Domain, has && hint == 300*time.Second, hint)
	_, err = federation.FetchBundle(ctx, td, s.WebURL)
	check("https_web without its authority is refused "+s.Domain, err != nil, "no error")
	id := spiffeid.RequireFromString(s.EndpointID)
	spiffe, err := federation.FetchBundle(ctx, td, s.SpiffeURL, federation.WithSPIFFEAuth(web, id))
	check("https_spiffe fetch "+s.Domain, err == nil && spiffe.Equal(web), err)
	_, err = federation.FetchBundle(ctx, td, s.SpiffeURL, federation.WithSPIFFEAuth(web, spiffeid.RequireFromString(s.ID)))
	check("https_spiffe of another id is refused "+s.Domain, err != nil, "no error")
	foreign, err := federation.FetchBundle(ctx, spiffeid.RequireTrustDomainFromString(other.Domain), other.SpiffeURL,
		federation.WithSPIFFEAuth(web, id))
	check("https_spiffe of another domain is refused "+s.Domain, err != nil, foreign)
	return web
}

type watcher struct {
	got   chan *spiffebundle.Bundle
	ended chan error
}

func (w *watcher) NextRefresh(time.Duration) time.Duration { return 200 * time.Millisecond }
func (w *watcher) OnUpdate(b *spiffebundle.Bundle)         { w.got <- b }
func (w *watcher) OnError(err error)                       { w.ended <- err }

func watch(ctx context.Context, s side, web *spiffebundle.Bundle) {
	w := &watcher{got: make(chan *spiffebundle.Bundle, 16), ended: make(chan error, 16)}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	go federation.WatchBundle(ctx, web.TrustDomain(), s.SpiffeURL, w, federation.WithSPIFFEAuth(web, spiffeid.RequireFromString(s.EndpointID)))
	select {
	case b := <-w.got:
		check("watch "+s.Domain, b.Equal(web), b)
	case err := <-w.ended:
		check("watch "+s.Domain, false, err)
	case <-ctx.Done():
		check("watch "+s.Domain, false, "no answer")
	}
}

// A request of two's workload to one's over mutual TLS, each by what its own Workload API says.
func meet(ctx context.Context, one, two *workloadapi.X509Source, server, client spiffeid.ID) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	serving := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.TLS.PeerCertificates[0].URIs[0])
		}),
		TLSConfig:         tlsconfig.MTLSServerConfig(one, one, tlsconfig.AuthorizeID(client)),
		ReadHeaderTimeout: 5 * time.Second,
	}
	go func() { _ = serving.ServeTLS(listener, "", "") }()
	defer serving.Close()
	asking := http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: tlsconfig.MTLSClientConfig(two, two, tlsconfig.AuthorizeID(server))}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+listener.Addr().String()+"/", nil)
	if err != nil {
		return "", err
	}
	answer, err := asking.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	return string(said), err
}

func workloads(ctx context.Context, w world) {
	one, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(w.One.Socket)))
	if !check("source one", err == nil, err) {
		return
	}
	defer one.Close()
	two, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(w.Two.Socket)))
	if !check("source two", err == nil, err) {
		return
	}
	defer two.Close()
	idOne, idTwo := spiffeid.RequireFromString(w.One.ID), spiffeid.RequireFromString(w.Two.ID)
	_, err = one.GetX509BundleForTrustDomain(idTwo.TrustDomain())
	check("the other domain's bundle reaches the workload", err == nil, err)
	said, err := meet(ctx, one, two, idOne, idTwo)
	check("mutual TLS over two domains", err == nil && said == w.Two.ID, fmt.Sprint(said, " ", err))
	said, err = meet(ctx, two, one, idTwo, idOne)
	check("and the other way", err == nil && said == w.One.ID, fmt.Sprint(said, " ", err))
	_, err = meet(ctx, one, two, idOne, idOne)
	check("another id is refused", err != nil, "no error")
	tokens(ctx, w)
}

func tokens(ctx context.Context, w world) {
	two, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(w.Two.Socket)))
	if !check("jwt source two", err == nil, err) {
		return
	}
	defer two.Close()
	one, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(w.One.Socket)))
	if !check("jwt source one", err == nil, err) {
		return
	}
	defer one.Close()
	svid, err := two.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "one"})
	if !check("a JWT-SVID of two", err == nil, err) {
		return
	}
	parsed, err := jwtsvid.ParseAndValidate(svid.Marshal(), one, []string{"one"})
	check("is valid for one", err == nil && parsed.ID.String() == w.Two.ID, err)
	_, err = jwtsvid.ParseAndValidate(svid.Marshal(), one, []string{"other"})
	check("but not for another audience", err != nil, "no error")
}

func federate(ctx context.Context) error {
	var w world
	if err := json.NewDecoder(os.Stdin).Decode(&w); err != nil {
		return err
	}
	one, two := fetch(ctx, w.One, w.Two), fetch(ctx, w.Two, w.One)
	if one != nil && two != nil {
		watch(ctx, w.One, one)
		workloads(ctx, w)
	}
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	programs := map[string]func(context.Context) error{"federation": federate, "relying-party": relyingParty}
	if len(os.Args) != 2 || programs[os.Args[1]] == nil {
		fmt.Println("usage: go-spiffe federation|relying-party")
		os.Exit(2)
	}
	if err := programs[os.Args[1]](ctx); err != nil {
		fmt.Println("failed input:", err)
		os.Exit(1)
	}
	if failed {
		os.Exit(1)
	}
}
