// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

type party struct {
	Issuer   string `json:"issuer"`
	CA       string `json:"ca"` // PEM
	Audience string `json:"audience"`
	ID       string `json:"id"`
	Other    string `json:"other"`   // another issuer's address
	Token    string `json:"token"`   // good
	Expired  string `json:"expired"` // was good
	Foreign  string `json:"foreign"` // of the other issuer
	Forged   string `json:"forged"`  // good but for its signature
}

// All that the library knows is the issuer's address and the CA of its TLS certificate.
func relyingParty(ctx context.Context) error {
	var p party
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.CA))
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	ctx = oidc.ClientContext(ctx, client)
	provider, err := oidc.NewProvider(ctx, p.Issuer)
	if !check("discovery", err == nil, err) {
		return nil
	}
	_, err = oidc.NewProvider(ctx, p.Other)
	check("discovery of another address is refused", err != nil, "no error")
	verifier := provider.Verifier(&oidc.Config{ClientID: p.Audience})
	token, err := verifier.Verify(ctx, p.Token)
	if check("a good token", err == nil, err) {
		check("says who it is", token.Subject == p.ID && token.Issuer == p.Issuer, token)
	}
	_, err = provider.Verifier(&oidc.Config{ClientID: "elsewhere"}).Verify(ctx, p.Token)
	check("another audience is refused", err != nil, "no error")
	_, err = verifier.Verify(ctx, p.Expired)
	var late *oidc.TokenExpiredError
	check("an expired token is refused", errors.As(err, &late), err)
	_, err = verifier.Verify(ctx, p.Foreign)
	check("another issuer's token is refused", err != nil, "no error")
	_, err = verifier.Verify(ctx, p.Forged)
	check("a forged token is refused", err != nil, "no error")
	return nil
}
